package netns

import (
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// underway bounds the packets that one direction of a cable holds; when it is
// full the device before it waits, and drops.
const underway = 4096

// cable is two TUN devices, and what lies between them.
type cable struct {
	ends [2]*os.File
	wg   sync.WaitGroup
}

// lay makes two devices and has each one's packets come out of the other.
func lay(a, b end, l Line, seed uint64) (*cable, error) {
	c := &cable{}
	for i, e := range []end{a, b} {
		var err error
		if c.ends[i], err = openTUN(e); err != nil {
			c.close()
			return nil, err
		}
	}
	for i := range c.ends {
		d := direction{Line: l, rand: rand.New(rand.NewPCG(seed, uint64(i))), queue: make(chan packet, underway)}
		c.wg.Go(func() { d.take(c.ends[i]) })
		c.wg.Go(func() { d.give(c.ends[1-i]) })
	}
	return c, nil
}

// close ends the devices and waits for what lay between.
func (c *cable) close() {
	for _, f := range c.ends {
		if f != nil {
			f.Close()
		}
	}
	c.wg.Wait()
}

// packet is on its way until due.
type packet struct {
	data []byte
	due  time.Time
}

// direction is one way through a cable.
type direction struct {
	Line
	rand  *rand.Rand
	queue chan packet
}

// take reads packets until from closes.
func (d *direction) take(from io.Reader) {
	defer close(d.queue)
	var last time.Time
	buf := make([]byte, mtu)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if d.Loss > 0 && d.rand.Float64() < d.Loss {
			continue
		}
		due := time.Now().Add(d.Delay)
		if d.Jitter > 0 {
			due = due.Add(time.Duration(d.rand.Int64N(int64(d.Jitter))))
		}
		if due.Before(last) {
			due = last
		}
		last = due
		d.queue <- packet{append([]byte(nil), buf[:n]...), due}
	}
}

// give writes packets when they are due. One that the device refuses is lost.
func (d *direction) give(to io.Writer) {
	for p := range d.queue {
		until(p.due)
		to.Write(p.data)
	}
}
