"""For tests and first tries: the emulator."""
