"""Tests of the client; those that need a node find it by CENOTE_URL and CENOTE_TOKEN."""
