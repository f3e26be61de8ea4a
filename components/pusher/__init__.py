"""The Pusher: a version is published complete or not at all, under a number that only grows, and is served since."""

from components.pusher.publish import Published, publish_model

__all__ = ["Published", "publish_model"]
