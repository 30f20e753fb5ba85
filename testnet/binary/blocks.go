package binary

import (
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// keys is how the repo's store names its files.
var keys = base32.StdEncoding.WithPadding(base32.NoPadding)

// blocks is where the repo's store is.
func (b Box) blocks() string { return filepath.Join(b.Repo, "ipfs", "blocks") }

// BlockFile is where the box keeps a block, if it does.
func (b Box) BlockFile(c cid.Cid) string {
	key := keys.EncodeToString(c.Hash())
	return filepath.Join(b.blocks(), key[len(key)-3:len(key)-1], key+".data")
}

// Blocks lists what the box keeps now, whether its daemon runs or not: the size
// of each block by its multihash.
func (b Box) Blocks() (map[string]int64, error) {
	held := map[string]int64{}
	err := filepath.WalkDir(b.blocks(), func(path string, e fs.DirEntry, err error) error {
		key, isBlock := strings.CutSuffix(filepath.Base(path), ".data")
		if err != nil || e.IsDir() || !isBlock {
			return err
		}
		hash, err := keys.DecodeString(key)
		if err != nil {
			return fmt.Errorf("name of a block: %w", err)
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was collected
		}
		if err == nil {
			held[string(hash)] = info.Size()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list blocks of %s: %w", b.Repo, err)
	}
	return held, nil
}

// Below calls f for c and each block below it that the box keeps, in order.
func (b Box) Below(c cid.Cid, f func(cid.Cid)) error {
	f(c)
	if c.Prefix().Codec == cid.Raw {
		return nil
	}
	data, err := os.ReadFile(b.BlockFile(c))
	if err != nil {
		return fmt.Errorf("read block: %w", err)
	}
	links, err := node.Links(c, data)
	for _, l := range links {
		if err == nil {
			err = b.Below(l, f)
		}
	}
	return err
}
