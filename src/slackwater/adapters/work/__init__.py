"""Work that must not stall the event loop: another process, and the tokenizer that runs there."""
