"""`passerby worker`: a process that delivers what the app's processes have stored."""
