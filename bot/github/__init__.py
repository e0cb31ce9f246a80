"""The outgoing edge to GitHub: REST through one client, git over https through one cache."""
