package folder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// retired is the file that notes since when blocks are unwanted, in Unix
// seconds by CID: a reader who has the record of then may still come for them.
const retired = ownDir + "/retired"

// Each calls g for each block here, by its CID and in no order, until g fails,
// whose error it returns.
func (f *Folder) Each(ctx context.Context, g func(c cid.Cid, size int64) error) error {
	dir, err := os.Open(f.path(blockDir))
	if err != nil {
		return fmt.Errorf("list blocks: %w", err)
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(1024)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				continue
			}
			c, err := cid.Decode(e.Name())
			if err != nil || c.String() != e.Name() || c.Prefix().MhType != multihash.SHA2_256 || c.Prefix().MhLength != 32 {
				continue // none of ours
			}
			st, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = g(c, st.Size())
			}
			if err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("list blocks: %w", err)
		}
	}
}

// Release says which blocks no version needs. Those that every call has named
// for the grace are deleted and counted; the grace counts on when the folder
// is opened again.
func (f *Folder) Release(ctx context.Context, unwanted []cid.Cid) (freed int, bytes int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := map[string]int64{}
	if data, err := os.ReadFile(f.path(retired)); err == nil {
		if json.Unmarshal(data, &before) != nil {
			before = map[string]int64{} // damaged: the grace begins anew
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return 0, 0, fmt.Errorf("release: %w", err)
	}
	now := f.cfg.Now().Unix()
	since := map[string]int64{}
	for _, c := range unwanted {
		t, ok := before[c.String()]
		if !ok || t > now {
			t = now
		}
		if now-t < int64(f.cfg.Grace.Seconds()) {
			since[c.String()] = t
			continue
		}
		st, err := os.Stat(f.block(c))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = f.Delete(ctx, c)
		}
		if err != nil {
			return freed, bytes, fmt.Errorf("release: %w", err)
		}
		freed++
		bytes += st.Size()
	}
	if len(since) > 0 || len(before) > 0 {
		data, err := json.Marshal(since)
		if err == nil {
			err = f.Write(retired, func(w io.Writer) error { _, err := w.Write(data); return err })
		}
		if err != nil {
			return freed, bytes, fmt.Errorf("release: %w", err)
		}
	}
	return freed, bytes, nil
}
