package player

import "sync/atomic"

// ring carries mixed sound from the one goroutine that mixes to the one that
// feeds the sink. It is made once, takes no lock and allocates nothing. Places
// in it are sample frames since the first, which never come back.
//
// The reader may go back as far as the floor: what a sink has taken and not
// yet been heard is kept, so that it can be faded, or handed to another sink.
type ring struct {
	buf   []float32
	plain []bool // of each frame: it is as its track has it
	mask  int64

	wrote atomic.Int64 // the writer's
	read  atomic.Int64 // the reader's
	floor atomic.Int64 // the reader's; at most read
	last  atomic.Int64 // the writer's: where all ends; -1 while it goes on

	more chan struct{} // holds one: wrote or last has moved
	room chan struct{} // holds one: floor has moved
}

// newRing holds at least so many frames.
func newRing(frames int) *ring {
	size := 1024
	for size < frames {
		size *= 2
	}
	r := &ring{
		buf: make([]float32, size*Channels), plain: make([]bool, size), mask: int64(size - 1),
		more: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
	r.last.Store(-1)
	return r
}

// poke wakes whoever waits on c, now or next time.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// free is how many frames may be written.
func (r *ring) free() int { return int(r.mask + 1 - (r.wrote.Load() - r.floor.Load())) }

// write takes frames, as many as there is room for, and says how many. plain
// says that they are as their track has them: a sink that rounds adds no
// dither.
func (r *ring) write(src []float32, plain bool) int {
	w := r.wrote.Load()
	n := min(len(src)/Channels, r.free())
	at := int(w&r.mask) * Channels
	k := copy(r.buf[at:], src[:n*Channels])
	copy(r.buf, src[k:n*Channels])
	for i := range int64(n) {
		r.plain[(w+i)&r.mask] = plain
	}
	if n > 0 {
		r.wrote.Store(w + int64(n))
		poke(r.more)
	}
	return n
}

// end says that nothing more is written.
func (r *ring) end() {
	r.last.Store(r.wrote.Load())
	poke(r.more)
}

// ended tells whether the reader has had all there will be.
func (r *ring) ended() bool { return r.read.Load() == r.last.Load() }

// held is how many frames can be taken.
func (r *ring) held() int { return int(r.wrote.Load() - r.read.Load()) }

// take moves frames to dst, as many as there are that are all plain or all
// not, and says how many and which.
func (r *ring) take(dst []float32) (n int, plain bool) {
	at := r.read.Load()
	most := min(len(dst)/Channels, int(r.wrote.Load()-at))
	plain = most > 0 && r.plain[at&r.mask]
	for n < most && r.plain[(at+int64(n))&r.mask] == plain {
		n++
	}
	i := int(at&r.mask) * Channels
	k := copy(dst[:n*Channels], r.buf[i:])
	copy(dst[k:n*Channels], r.buf)
	r.read.Store(at + int64(n))
	return n, plain
}

// seek makes at the next frame taken: not before the floor, not after what
// was written.
func (r *ring) seek(at int64) { r.read.Store(at) }

// raise gives up what lies before at.
func (r *ring) raise(at int64) {
	if at > r.floor.Load() {
		r.floor.Store(at)
		poke(r.room)
	}
}
