"""conda-lock.yml: what it holds, how it is read, how two of them differ, how old it is."""
