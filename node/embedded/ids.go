package embedded

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// maxIDs bounds the ids that are remembered as texts, and the other way around.
const maxIDs = 2048

// ids are peer ids as texts: base58 takes microseconds, and who goes through all
// peers for each block or question needs it for each. Safe for concurrent use.
type ids struct {
	mu    sync.RWMutex // guards what follows
	texts map[peer.ID]string
	known map[string]peer.ID
}

// text is id.String().
func (x *ids) text(id peer.ID) string {
	x.mu.RLock()
	s, ok := x.texts[id]
	x.mu.RUnlock()
	if !ok {
		s = id.String()
		x.note(id, s)
	}
	return s
}

// id is peer.Decode of a text.
func (x *ids) id(text string) (peer.ID, error) {
	x.mu.RLock()
	id, ok := x.known[text]
	x.mu.RUnlock()
	if ok {
		return id, nil
	}
	id, err := peer.Decode(text)
	if err == nil && id.String() == text { // an id has other texts, too
		x.note(id, text)
	}
	return id, err
}

func (x *ids) note(id peer.ID, text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.texts == nil || len(x.texts) >= maxIDs {
		x.texts, x.known = map[peer.ID]string{}, map[string]peer.ID{}
	}
	x.texts[id], x.known[text] = text, id
}
