"""Parts that connect the library to others' frameworks. Each needs an extra of its own."""
