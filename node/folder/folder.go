// Package folder keeps blocks and name records as plain files, laid out so
// that any web host that serves the folder is a trustless gateway of them:
// ipfs/CID has a block's bytes, ipns/NAME a signed record.
//
// What comes in: blocks that are verified before they are kept, and records
// that the caller has verified. What goes out: the same, while others read the
// files, who never see half of one. What is trusted: nobody but this package
// writes here; what a disk has damaged is found when it is read.
package folder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/node"
)

const (
	blockDir, recordDir = "ipfs", "ipns"
	// ownDir has what is nobody's but ours; web hosts hide names with a dot.
	ownDir = ".playnode"
	// temp begins the names of files that are being written.
	temp = ".new-"
	// syncs bounds the files of a batch that are synced at once.
	syncs = 32
	// maxRecord bounds a record that is read, in bytes.
	maxRecord = 10 << 10
)

// ErrBusy says that another process writes to the folder.
var ErrBusy = errors.New("another playnode is writing to this folder")

// Config is what a Folder needs.
type Config struct {
	// Dir is made when it is not there. One with files in it that no Folder
	// wrote is refused.
	Dir string
	// Grace is how long a block stays that no version needs; 0 lets it go at
	// once.
	Grace time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Folder is a directory that this process alone writes to until Close. It is a
// node.Blocks. Safe for concurrent use.
type Folder struct {
	cfg  Config
	lock *flock.Flock
	mu   sync.Mutex // held while blocks are written or released
}

// Open makes or opens the folder, and removes what a cut has left half
// written. ErrBusy when another process has it open.
func Open(cfg Config) (*Folder, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	f := &Folder{cfg: cfg}
	if err := f.open(); err != nil {
		return nil, fmt.Errorf("open folder %s: %w", cfg.Dir, full(err))
	}
	return f, nil
}

func (f *Folder) open() error {
	own := f.path(ownDir)
	if _, err := os.Stat(own); errors.Is(err, fs.ErrNotExist) {
		for _, dir := range []string{blockDir, recordDir} {
			if entries, err := os.ReadDir(f.path(dir)); err == nil && len(entries) > 0 {
				return fmt.Errorf("its folder %s has files of somebody else's", dir)
			}
		}
	}
	for _, dir := range []string{f.cfg.Dir, f.path(blockDir), f.path(recordDir)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, dir := range []string{blockDir, recordDir} { // a web host is another user, whatever the umask
		if err := os.Chmod(f.path(dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(own, 0o700); err != nil {
		return err
	}
	f.lock = flock.New(filepath.Join(own, "lock"))
	switch ok, err := f.lock.TryLock(); {
	case err != nil:
		return err
	case !ok:
		return ErrBusy
	}
	for _, dir := range []string{f.cfg.Dir, f.path(blockDir), f.path(recordDir)} {
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			if err == nil && strings.HasPrefix(e.Name(), temp) {
				err = os.Remove(filepath.Join(dir, e.Name()))
			}
		}
		if err != nil {
			return errors.Join(err, f.lock.Unlock())
		}
	}
	return nil
}

// Close lets others write here.
func (f *Folder) Close() error { return f.lock.Unlock() }

func (f *Folder) path(parts ...string) string {
	return filepath.Join(append([]string{f.cfg.Dir}, parts...)...)
}

func (f *Folder) block(c cid.Cid) string { return f.path(blockDir, c.String()) }

// full makes a disk's refusal node.ErrNoSpace.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", node.ErrNoSpace, err)
	}
	return err
}

// Put stores blocks; see node.Putter. Each appears whole, under its name, once
// all of the call are on the disk.
func (f *Folder) Put(ctx context.Context, batch ...node.Block) error {
	for _, b := range batch {
		if err := node.Verify(b.CID, b.Data); err != nil {
			return fmt.Errorf("put: %w", err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var g errgroup.Group
	g.SetLimit(syncs)
	fresh := map[cid.Cid]bool{}
	for _, b := range batch {
		if fresh[b.CID] {
			continue
		}
		fresh[b.CID] = true
		g.Go(func() error { return writeSynced(f.path(blockDir, temp+b.CID.String()), b.Data) })
	}
	err := g.Wait()
	for c := range fresh {
		if err == nil {
			err = os.Rename(f.path(blockDir, temp+c.String()), f.block(c))
		}
	}
	if err == nil {
		err = syncDir(f.path(blockDir))
	}
	if err != nil {
		for c := range fresh { // a full disk needs the room
			os.Remove(f.path(blockDir, temp+c.String()))
		}
		return fmt.Errorf("put %d blocks: %w", len(fresh), full(err))
	}
	return nil
}

// writeSynced writes a file that everybody may read, on to the disk.
func writeSynced(path string, data []byte) error {
	w, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if err == nil {
		err = publish(w)
	}
	return errors.Join(err, w.Close())
}

// publish has what was written on the disk, for everybody to read.
func publish(w *os.File) error {
	if err := w.Chmod(0o644); err != nil && runtime.GOOS != "windows" {
		return err
	}
	return w.Sync()
}

func syncDir(path string) error {
	if runtime.GOOS == "windows" { // directories cannot be synced there
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Has tells whether the block's file is there.
func (f *Folder) Has(_ context.Context, c cid.Cid) (bool, error) {
	st, err := os.Stat(f.block(c))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && st.Mode().IsRegular(), err
}

// Read reads a block, verified; see node.Blocks.
func (f *Folder) Read(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, err := read(f.block(c), node.MaxBlock)
	if errors.Is(err, fs.ErrNotExist) {
		err = node.ErrNotFound
	}
	if err == nil {
		if err = node.Verify(c, data); err != nil {
			err = errors.Join(node.ErrNotFound, err, f.Delete(ctx, c))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c, err)
	}
	return data, nil
}

// read reads at most limit+1 bytes of a file.
func read(path string, limit int64) ([]byte, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, limit+1))
}

// Delete removes a block.
func (f *Folder) Delete(_ context.Context, c cid.Cid) error {
	if err := os.Remove(f.block(c)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", c, err)
	}
	return nil
}

// Records are the name records here, by name and not verified.
func (f *Folder) Records() (map[string][]byte, error) {
	entries, err := os.ReadDir(f.path(recordDir))
	if err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	out := map[string][]byte{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !e.Type().IsRegular() {
			continue
		}
		raw, err := read(f.path(recordDir, e.Name()), maxRecord)
		if err != nil {
			return nil, fmt.Errorf("read record of %s: %w", e.Name(), err)
		}
		out[e.Name()] = raw
	}
	return out, nil
}

// Record is the record of name in the folder at dir, "" where there is none. It
// takes no lock.
func Record(dir, name string) string {
	raw, err := read(filepath.Join(dir, recordDir, name), maxRecord)
	if err != nil {
		return ""
	}
	return string(raw)
}

// PutRecord puts a name's record in the place of the one that is there: who
// reads it has the one or the other. Durable on return.
func (f *Folder) PutRecord(name string, raw []byte) error {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, `/\`) || len(raw) > maxRecord {
		return fmt.Errorf("put record of %q, %d bytes: no name, or no record", name, len(raw))
	}
	err := f.Write(filepath.Join(recordDir, name), func(w io.Writer) error {
		_, err := w.Write(raw)
		return err
	})
	if err != nil {
		return fmt.Errorf("put record of %s: %w", name, err)
	}
	return nil
}

// Write puts a file below the folder in the place of the one that is there,
// whole or not at all. Durable on return.
func (f *Folder) Write(name string, write func(io.Writer) error) error {
	path := f.path(name)
	half := filepath.Join(filepath.Dir(path), temp+filepath.Base(path))
	w, err := os.OpenFile(half, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return full(err)
	}
	if err = write(w); err == nil {
		err = publish(w)
	}
	if err = errors.Join(err, w.Close()); err == nil {
		err = os.Rename(half, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		os.Remove(half)
	}
	return full(err)
}
