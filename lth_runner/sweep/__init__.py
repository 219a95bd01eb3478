"""Many runs by one command: what is done already, what is launched and where, and how it all ended."""
