//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package result

import "os"

// flock takes no lock: see Store.Lock.
func flock(*os.File) (bool, error) { return true, nil }

// syncFolder does nothing: folders cannot be synced everywhere.
func syncFolder(string) error { return nil }
