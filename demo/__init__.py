"""`make demo`: an event's photos in, selfies in, the guests' photos out."""
