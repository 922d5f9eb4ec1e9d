"""Making a recorded selection again, and comparing it byte for byte."""
