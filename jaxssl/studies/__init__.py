"""What is no gradient method: plain functions on arrays, one topic a module, each usable alone or as `study` of a config."""
