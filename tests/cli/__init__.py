"""The command `tgtrio`, called in this process unless a test says otherwise."""
