package meet

import "bytes"

// maxKept is how many of a name's followers are kept for the next start.
const maxKept = 16

// unkept tells whether there is somebody to be written. Nobody met leaves what
// there was: it is all that a box has whose peers are gone. Meeting.mu is held.
func (c *circle) unkept() bool { return c.changed && len(c.met) > 0 }

// keep writes who was met, where that has changed.
func (m *Meeting) keep() {
	if m.cfg.Store == nil {
		return
	}
	rows := map[string][]byte{}
	m.mu.Lock()
	for name, c := range m.names {
		if !c.unkept() {
			continue
		}
		c.changed = false
		var row []byte
		for _, record := range m.introduce(c, "", maxKept) {
			row = appendRecord(row, record)
		}
		if row != nil {
			rows[name] = row
		}
	}
	m.mu.Unlock()
	for name, row := range rows {
		if err := m.cfg.Store.Put(name, row); err != nil {
			m.cfg.Log.Error("keep who follows", "name", name, "err", err)
		}
	}
}

// remember takes what keep wrote as told by ourselves. m.mu is held.
func (m *Meeting) remember(name string, c *circle) {
	if m.cfg.Store == nil {
		return
	}
	row, err := m.cfg.Store.Get(name)
	if err != nil {
		m.cfg.Log.Error("read who follows", "name", name, "err", err)
		return
	}
	r := bytes.NewReader(row)
	for range maxKept {
		rec, err := m.readRecord(r)
		if err != nil || rec == nil {
			return // the end, or damage: others will tell
		}
		m.hear(c, *rec, m.cfg.Peers.ID())
	}
}
