package bench

import (
	"bytes"
	"time"
)

// A note is what a message carries: where it was said, which message of the
// channel it is, its number in a window, and when it was due, counted from the
// beginning of the run.
type note struct {
	channel int
	seq     uint32
	number  uint32
	due     time.Duration
}

// A note is written in fixed places, so that finding and reading it costs the
// readers next to nothing:
//
//	@!CCCCCC.SSSSSSSS.NNNNNNNN.TTTTTTTTTTTTTTTT.xxxxxxxx…x!
//
// All are lower-case hex digits. The last two bytes tell that the message is whole.
const (
	noteStart   = "@!"
	noteLength  = 2 + 6 + 1 + 8 + 1 + 8 + 1 + 16 + 1
	minSize     = noteLength + 2
	maxSize     = 200 << 10
	maxChannels = 1 << 24
)

func appendNote(dst []byte, n note, size int) []byte {
	start := len(dst)
	dst = append(dst, noteStart...)
	dst = append(appendHex(dst, uint64(n.channel), 6), '.')
	dst = append(appendHex(dst, uint64(n.seq), 8), '.')
	dst = append(appendHex(dst, uint64(n.number), 8), '.')
	dst = append(appendHex(dst, uint64(n.due), 16), '.')
	for len(dst)-start < size-1 {
		dst = append(dst, 'x')
	}
	return append(dst, '!')
}

// nextNote finds the first note in text, and returns what is behind it. whole
// is false if its message is damaged.
func nextNote(text []byte, size int) (n note, whole bool, rest []byte, found bool) {
	for {
		at := bytes.IndexByte(text, noteStart[0])
		if at < 0 || at+1 >= len(text) {
			return n, false, nil, false
		}
		text = text[at:]
		if text[1] == noteStart[1] {
			break
		}
		text = text[1:]
	}
	if len(text) < size {
		return n, false, nil, true
	}
	var ok [4]bool
	var v uint64
	v, ok[0] = parseHex(text[2:8])
	n.channel = int(v)
	v, ok[1] = parseHex(text[9:17])
	n.seq = uint32(v)
	v, ok[2] = parseHex(text[18:26])
	n.number = uint32(v)
	v, ok[3] = parseHex(text[27:43])
	n.due = time.Duration(v)
	for _, at := range [4]int{8, 17, 26, 43} {
		ok[0] = ok[0] && text[at] == '.'
	}
	if ok != [4]bool{true, true, true, true} || text[size-1] != '!' || text[size-2] != 'x' && text[size-2] != '.' {
		return n, false, text[2:], true
	}
	return n, true, text[size:], true
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	for i := digits - 1; i >= 0; i-- {
		dst = append(dst, "0123456789abcdef"[v>>(4*i)&15])
	}
	return dst
}

func parseHex(text []byte) (v uint64, ok bool) {
	for _, c := range text {
		switch {
		case '0' <= c && c <= '9':
			v = v<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
