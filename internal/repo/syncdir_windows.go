package repo

// syncDir does nothing: NTFS journals renames, and directories have no handle
// that could be flushed.
func syncDir(string) error { return nil }
