"""The files of an archive: their layout and schema, reading, checking and publishing. No engine."""
