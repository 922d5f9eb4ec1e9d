SELECT audit, definition FROM audits;
