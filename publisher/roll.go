package publisher

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/ipfs/go-cid"
)

// rowRoll begins the rows of a playlist's tracks that roll out of it: by the
// playlist, and the order in which they were made.
const rowRoll = "roll/"

type rollRow struct {
	CID cid.Cid
	Sec uint64
}

// roll has an edit list tracks that were made of a set, and give up those of
// earlier ones that are more than the set's Keep. The newest track stays,
// however long it is. mu is held.
func (p *Publisher) roll(e *edit, made []*trackRow, row setRow) error {
	prefix := rowRoll + e.label + "/"
	rolls := map[string]rollRow{}
	if err := p.cfg.Store.Each(prefix, func(key string, value []byte) error {
		var r rollRow
		if err := json.Unmarshal(value, &r); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		rolls[key] = r
		return nil
	}); err != nil {
		return err
	}
	puts := map[string][]byte{}
	next := uint64(0) // they are in the order in which they were made, whatever the clock said
	for key := range rolls {
		if n, err := strconv.ParseUint(key[len(prefix):min(len(key), len(prefix)+16)], 16, 64); err == nil {
			next = max(next, n+1)
		}
	}
	for i, t := range made {
		key := fmt.Sprintf("%s%016x", prefix, next+uint64(i))
		rolls[key] = rollRow{t.CID, t.Sec}
		puts[key] = marshal(rolls[key])
	}
	var sound time.Duration
	for _, key := range slices.Backward(slices.Sorted(maps.Keys(rolls))) {
		if sound >= row.Keep {
			c := rolls[key].CID
			e.drop, e.gone = append(e.drop, c), append(e.gone, key)
			e.add = slices.DeleteFunc(e.add, c.Equals) // it is one of those that were made now
			delete(puts, key)
		}
		sound += time.Duration(rolls[key].Sec) * time.Second
	}
	e.puts = puts
	return nil
}
