"""Selection methods behind one protocol."""
