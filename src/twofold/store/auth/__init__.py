"""Users, roles and permissions: not there yet; its RPCs answer Unimplemented."""
