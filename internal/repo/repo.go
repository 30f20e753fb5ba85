// Package repo is everything playnode keeps on disk, in one directory: the
// lock, the settings (the only user of viper), playnode.db (the only SQLite),
// the keys, and small files that survive a power cut.
//
// What comes in: a directory's path, flags and environment. What goes out:
// durable ordered maps (Bucket for state, Secrets for keys) that the roles'
// own store interfaces are satisfied by, and one validated Config. What is
// trusted: the directory and whoever can write it. Rooms other than daemon
// and cmd never import it; they declare the store they need.
package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/adrg/xdg"
	"github.com/gofrs/flock"
)

// Version is the layout this binary writes. A repo with a higher one is
// refused; one with a lower one is migrated at Open.
const Version = 1

var (
	// ErrNoRepo says that the directory holds no repo.
	ErrNoRepo = errors.New("no playnode repo here")
	// ErrLocked says that another process has the repo open.
	ErrLocked = errors.New("the repo is in use by another playnode")
	// ErrNewer says that a newer playnode wrote the repo.
	ErrNewer = errors.New("the repo was written by a newer playnode")
)

// DefaultDir is the platform's data directory for playnode.
func DefaultDir() string { return filepath.Join(xdg.DataHome, "playnode") }

// Repo is an open, locked repo. Its methods are safe for concurrent use.
type Repo struct {
	// Dir is the repo's absolute path.
	Dir string
	// Config is what flags, environment and config.yaml gave.
	Config Config

	lock *flock.Flock
	db   *database
}

// Create makes the directory, its version mark and config.yaml if they are
// not there; on an existing repo it changes nothing. It takes no lock. The
// settings of cfg are written only into a new repo.
func Create(dir string, cfg Config) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find repo directory: %w", err)
	}
	if exists(dir) {
		return nil
	}
	for _, d := range []string{dir, filepath.Join(dir, "keys")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("make repo: %w", err)
		}
		if err := os.Chmod(d, 0o700); err != nil {
			return fmt.Errorf("make repo: %w", err)
		}
	}
	if err := cfg.write(filepath.Join(dir, "config.yaml")); err != nil {
		return err
	}
	// The version comes last: a directory without one is not a repo yet, and
	// a second init finishes what a kill interrupted.
	return WriteFile(filepath.Join(dir, "version"), []byte(strconv.Itoa(Version)+"\n"))
}

func exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "version"))
	return err == nil
}

// Open locks and opens the repo at dir with settings already loaded. The
// caller closes it.
func Open(dir string, cfg Config) (*Repo, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find repo directory: %w", err)
	}
	if err := checkVersion(dir); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock repo %s: %w", dir, err)
	}
	if !ok {
		return nil, fmt.Errorf("open %s: %w", dir, ErrLocked)
	}
	db, err := openDatabase(filepath.Join(dir, "playnode.db"))
	if err != nil {
		lock.Unlock()
		return nil, err
	}
	return &Repo{Dir: dir, Config: cfg, lock: lock, db: db}, nil
}

func checkVersion(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "version"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", dir, ErrNoRepo)
	}
	if err != nil {
		return fmt.Errorf("read repo version: %w", err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return fmt.Errorf("read repo version: %q is no number", strings.TrimSpace(string(b)))
	}
	if v > Version {
		return fmt.Errorf("%s has version %d, this playnode knows %d: %w", dir, v, Version, ErrNewer)
	}
	return nil
}

// Close closes the database and gives the lock back.
func (r *Repo) Close() error {
	return errors.Join(r.db.close(), r.lock.Unlock())
}

// Bucket is the state map of that name, made when first written.
func (r *Repo) Bucket(name string) *Bucket { return &Bucket{db: r.db, name: name} }

// Secrets is the key map of that name: one file under keys/.
func (r *Repo) Secrets(name string) (*Secrets, error) {
	return openSecrets(filepath.Join(r.Dir, "keys", name+".json"))
}

// KeysDir is where keys lie: 0700, its files 0600.
func (r *Repo) KeysDir() string { return filepath.Join(r.Dir, "keys") }

// NodeDir is where the embedded node keeps blocks and metadata.
func (r *Repo) NodeDir() string { return filepath.Join(r.Dir, "ipfs") }

// WriteFile writes a small file with mode 0600 so that after a power cut it
// has either its old or its new content, and the new one once WriteFile has
// returned.
func WriteFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // made 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(dir)
}
