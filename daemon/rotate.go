package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"playnode/internal/repo"
	"playnode/internal/seal"
	"playnode/publisher"
)

// Operations of the root key.
const (
	OpKeysRotate  Op[RotateRequest, Rotated]   = "keys-rotate"
	OpKeysOffline Op[OfflineRequest, MovedOut] = "keys-offline"
)

// OfflineRequest moves the root key into the directory Dir (absolute), as a
// file that Passphrase seals; without one it is in clear.
type OfflineRequest struct {
	Dir        string `json:"dir"`
	Passphrase string `json:"passphrase,omitempty"`
}

// MovedOut is where the root key is now, and nowhere else.
type MovedOut struct {
	File   string `json:"file"`
	Root   string `json:"root"` // the DJ's fingerprint
	Sealed bool   `json:"sealed"`
}

// RotateRequest makes a new root, with the root key in the file Root
// (absolute) where it is not here. Alone says that nothing was published since
// the backup that this repo was restored from, or nothing that is to count.
type RotateRequest struct {
	Root       string      `json:"root,omitempty"`
	Passphrase string      `json:"passphrase,omitempty"`
	Alone      bool        `json:"alone,omitempty"`
	Node       NodeRequest `json:"node"`
}

// Rotated is what a new root has done.
type Rotated struct {
	Name  string `json:"name"`
	Root  string `json:"root"`  // the DJ's fingerprint, as ever
	RootN uint64 `json:"rootn"` // the new root's number
	Seq   uint64 `json:"seq"`
	// Manifest is the CID of the head's envelope; empty where nothing is
	// published yet.
	Manifest string `json:"manifest"`
	// Leases go on; Requests waited, and have to be made again.
	Leases   int `json:"leases"`
	Requests int `json:"requests"`
	Holders  int `json:"holders"`
}

// maxRootFile bounds the file of a root key.
const maxRootFile = 64 << 10

func (d *Daemon) keysOffline(_ context.Context, req OfflineRequest, emit func(Event)) (out MovedOut, err error) {
	if st, err := os.Stat(req.Dir); err != nil || !st.IsDir() {
		return out, usage("%s is no directory", req.Dir)
	}
	if in, err := filepath.Rel(d.repo.Dir, req.Dir); err == nil && in != ".." && !strings.HasPrefix(in, ".."+string(filepath.Separator)) {
		return out, usage("%s is inside the repo: the key is to leave it", req.Dir)
	}
	keys, err := d.repo.Secrets("dj")
	if err != nil {
		return out, err
	}
	dj := d.keys.DJ().String()
	out = MovedOut{File: filepath.Join(req.Dir, "playnode-root-"+dj[len(dj)-8:]+".key"), Root: dj, Sealed: req.Passphrase != ""}
	if out.Sealed {
		out.File += ".age"
	}
	err = d.keys.MoveRoot(keys, func(k seal.Signing) error {
		text := fmt.Sprintf("# root key of DJ %s (%s)\n%s\n", dj, d.keys.Name(), k.Reveal())
		return writeRoot(out.File, text, req.Passphrase, k)
	})
	if errors.Is(err, publisher.ErrNoRoot) {
		return out, usage("the root key is not here: it was moved before")
	}
	if err != nil {
		return out, err
	}
	emit(Event{Note: "backups written before now still hold the root key: write a new one, and destroy those"})
	return out, nil
}

// writeRoot writes a root key's file where there is none, and reads it back.
func writeRoot(path, text, passphrase string, k seal.Signing) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return usage("%s is there already: give another directory", path)
	}
	data := bytes.NewBufferString(text)
	if passphrase != "" {
		data = new(bytes.Buffer)
		w, err := seal.SealPassphrase(data, passphrase)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			return err
		}
	}
	if err := repo.WriteFile(path, data.Bytes()); err != nil {
		return err
	}
	back, err := readRoot(path, passphrase)
	if err == nil && back.Public() != k.Public() {
		err = fmt.Errorf("%s does not hold what was written", path)
	}
	return err
}

// readRoot reads a root key's file: a line that is no comment, in clear or
// sealed with a passphrase.
func readRoot(path, passphrase string) (k seal.Signing, err error) {
	f, err := os.Open(path)
	if err != nil {
		return k, usage("read root key: %v", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRootFile))
	if err == nil && SealedFile(b) {
		if passphrase == "" {
			return k, usage("%s is sealed, and wants its passphrase", path)
		}
		var plain io.Reader
		if plain, err = seal.OpenPassphrase(bytes.NewReader(b), passphrase); err == nil {
			b, err = io.ReadAll(io.LimitReader(plain, maxRootFile))
		}
	}
	if err != nil {
		return k, fmt.Errorf("read root key: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if k, err = seal.ParseSigning(line); err == nil {
			return k, nil
		}
		break
	}
	return k, usage("%s holds no root key", path)
}

// SealedFile tells whether a file that begins with b is sealed as an age file.
func SealedFile(b []byte) bool { return bytes.HasPrefix(b, []byte("age-encryption.org/v1\n")) }

func (d *Daemon) keysRotate(ctx context.Context, req RotateRequest, emit func(Event)) (out Rotated, err error) {
	n, err := d.net()
	if err != nil {
		return out, err
	}
	var o publisher.NewRoot
	if req.Root != "" {
		k, err := readRoot(req.Root, req.Passphrase)
		if err != nil {
			return out, err
		}
		o.Root = &k
	} else if _, here := d.keys.Roots(); !here {
		return out, usage("the root key is not here: --root FILE, the file that keys offline wrote")
	}
	if !d.opt.Serve && len(req.Node.Peers) > 0 {
		reach, cancel := context.WithTimeout(ctx, d.reach())
		d.connect(reach, n, req.Node.Peers)
		d.hear(reach, n)
		cancel()
	}
	if waiting, err := n.publisher.Restored(); err != nil {
		return out, err
	} else if waiting && !req.Alone {
		if o.Found, err = d.find(ctx, n); err != nil {
			return out, err
		}
	}
	keys, err := d.repo.Secrets("dj")
	if err != nil {
		return out, err
	}
	r, err := n.publisher.Rotate(ctx, keys, o)
	if errors.Is(err, publisher.ErrNoRoot) {
		return out, usage("%v", err)
	}
	if err != nil {
		return out, err
	}
	adopted(r.Adopted, emit)
	out = Rotated{
		Name: string(d.keys.Name()), Root: d.keys.DJ().String(), RootN: r.RootN, Seq: r.Seq,
		Leases: r.Leases, Requests: r.Requests, Holders: r.Holders,
	}
	if r.Head.Defined() {
		out.Manifest = r.Head.String()
	}
	if !d.opt.Serve && r.Head.Defined() {
		emit(Event{Note: "committed here; nothing is served until the daemon runs: playnode daemon"})
	}
	return out, nil
}
