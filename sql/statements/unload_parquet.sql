DROP TABLE incoming;
