"""The Pusher as a node: it reads both blessings and publishes what they bless."""
