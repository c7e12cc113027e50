"""Studies: functions on arrays that train no network, one topic a module; usable alone or as `study` of a config."""
