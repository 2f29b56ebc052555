"""What speaks other people's protocols. Each module is named technology_port."""
