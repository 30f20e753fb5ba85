package audio

import (
	"fmt"
	"io"
	"sort"
)

// sealed is what is sealed of a file: bytes of our own and pieces of the file, one after another.
type sealed struct {
	file  io.ReaderAt
	parts []part
	size  int64
}

// part begins at byte at of what is sealed.
type part struct {
	at, size int64
	data     []byte // or, if nil:
	off      int64  // in the file
}

func (s *sealed) add(p part) {
	if p.data != nil {
		p.size = int64(len(p.data))
	}
	if p.size == 0 {
		return
	}
	p.at = s.size
	s.parts = append(s.parts, p)
	s.size += p.size
}

// ReadAt reads as io.ReaderAt promises.
func (s *sealed) ReadAt(b []byte, off int64) (done int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d: negative offset", off)
	}
	i := sort.Search(len(s.parts), func(i int) bool { return s.parts[i].at+s.parts[i].size > off })
	for ; done < len(b) && i < len(s.parts); i++ {
		p := s.parts[i]
		skip := off + int64(done) - p.at
		n := int(min(int64(len(b)-done), p.size-skip))
		if p.data != nil {
			done += copy(b[done:done+n], p.data[skip:])
			continue
		}
		m, err := s.file.ReadAt(b[done:done+n], p.off+skip)
		done += m
		if m < n {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF // the file shrank
			}
			return done, err
		}
	}
	if done < len(b) {
		return done, io.EOF
	}
	return done, nil
}
