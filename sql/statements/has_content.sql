SELECT count(*) FROM contents WHERE artifact_key = $artifact_key AND content = $content;
