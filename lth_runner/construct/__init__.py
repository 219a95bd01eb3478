"""Methods that construct: each target weight from random ones, with a certificate."""
