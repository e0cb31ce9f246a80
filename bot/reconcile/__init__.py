"""What GitHub has and what we know, compared again and again: whatever got lost on the way is found here."""
