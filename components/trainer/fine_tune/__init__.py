"""The second stage: the backbone's last layers are trained with the head."""
