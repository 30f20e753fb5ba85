package player

import "time"

// leeway is how many frames of what sounds may be mixed now. Where its deck
// has decoded no more, so much is kept back as a fade takes, should no more
// come; but not of a beginning, when the sink has nothing else.
func (b *Playback) leeway() int {
	v, t := b.mix.cur, b.sound.Load()
	if b.mix.sent-v.begin < t.frames(pressedAt) {
		return blockFrames
	}
	if !t.card || v.item.set != nil || b.mix.in != nil || b.mix.owed != nil || v.over != nil || len(v.full) > 0 {
		return blockFrames
	}
	return max(0, b.decoded(v)-int(t.frames(fadeFor)))
}

// decoded is how many of the sink's frames a voice has at hand.
func (b *Playback) decoded(v *voice) int {
	return int(int64(v.have-v.off) * int64(b.mix.rate) / int64(v.format.Rate))
}

// late tells that what sounds has no more to be mixed now, and leaves it if
// its next block will not come in time and something else is ready. It says
// whether something has changed.
func (b *Playback) late() bool {
	if b.mix.cur.item.set != nil { // its deck knows what is still to come
		return false
	}
	if b.lateAt.IsZero() {
		b.lateAt = time.Now()
	}
	pressed := b.pressed() && time.Since(b.lateAt) > briefly
	switch cur, in := b.mix.cur, b.mix.in; {
	case b.dry() > hurryAfter, pressed && in != nil:
		for _, v := range []*voice{cur, in} {
			if v != nil && len(v.full) == 0 && v.over == nil && (in == nil || v.off == v.have) {
				v.abandon()
			}
		}
		return true
	case pressed && b.usable():
		b.fadeOut(cur)
		return true
	}
	return false
}

// usable tells whether something in line could begin.
func (b *Playback) usable() bool {
	for _, o := range b.lined {
		if o.usable() {
			return true
		}
	}
	return false
}

// fadeOut ends a voice with what it has at hand.
func (b *Playback) fadeOut(v *voice) {
	if len(v.full) > 0 || v.over != nil {
		return
	}
	frames := min(b.decoded(v), b.ring.free(), len(b.buf)/Channels)
	n, _ := b.mix.read(b.buf[:frames*Channels]) // no more than that is there
	for i := range n {
		g := 1 - float32(i+1)/float32(n)
		b.buf[i*Channels] *= g
		b.buf[i*Channels+1] *= g
	}
	b.ring.write(b.buf[:n*Channels], false)
	v.abandon()
}

// abandon ends a voice where it stands, for want of a block.
func (v *voice) abandon() {
	v.cancel()
	v.off, v.over = v.have, errLateBlock
}
