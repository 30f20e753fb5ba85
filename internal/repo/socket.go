package repo

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
)

// maxSocketPath keeps below the 104 to 108 bytes that systems allow.
const maxSocketPath = 100

// SocketPath is where the daemon of the repo at dir listens: dir/sock, or,
// where that would be too long for a socket's name, a file named by a hash of
// dir in the user's runtime directory.
func SocketPath(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	p := filepath.Join(dir, "sock")
	if len(p) <= maxSocketPath {
		return p
	}
	h := sha256.Sum256([]byte(dir))
	run := os.Getenv("XDG_RUNTIME_DIR")
	if run == "" {
		run = os.TempDir()
	}
	return filepath.Join(run, "playnode-"+hex.EncodeToString(h[:8])+".sock")
}
