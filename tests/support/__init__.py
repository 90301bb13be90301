"""What tests share: servers, engines, archives and models made for them. `from support.x import y`."""
