"""How teacher assistants are found between a teacher and a much smaller student."""
