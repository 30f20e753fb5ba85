package binary

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"playnode/node"
	"playnode/node/embedded/pack"
)

// spots is where the box keeps its blocks, by their multihashes.
func (b Box) spots() (map[string]pack.Spot, error) {
	list, err := pack.List(filepath.Join(b.Repo, "ipfs", "packs"))
	if err != nil {
		return nil, fmt.Errorf("blocks of %s: %w", b.Repo, err)
	}
	held := make(map[string]pack.Spot, len(list))
	for _, s := range list {
		held[string(s.CID.Hash())] = s
	}
	return held, nil
}

// Blocks lists what the box keeps now, whether its daemon runs or not: the size
// of each block by its multihash.
func (b Box) Blocks() (map[string]int64, error) {
	spots, err := b.spots()
	if err != nil {
		return nil, err
	}
	held := make(map[string]int64, len(spots))
	for hash, s := range spots {
		held[hash] = int64(s.Size)
	}
	return held, nil
}

// Below calls f for c and each block below it that the box keeps, in order.
func (b Box) Below(c cid.Cid, f func(cid.Cid)) error {
	spots, err := b.spots()
	if err != nil {
		return err
	}
	var walk func(c cid.Cid) error
	walk = func(c cid.Cid) error {
		f(c)
		if c.Prefix().Codec == cid.Raw {
			return nil
		}
		data, err := read(spots[string(c.Hash())])
		if err == nil {
			err = node.Verify(c, data)
		}
		if err != nil {
			return fmt.Errorf("read block %s: %w", c, err)
		}
		links, err := node.Links(c, data)
		for _, l := range links {
			if err == nil {
				err = walk(l)
			}
		}
		return err
	}
	return walk(c)
}

func read(s pack.Spot) ([]byte, error) {
	f, err := os.Open(s.File)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, s.Size)
	_, err = f.ReadAt(data, s.At)
	return data, err
}
