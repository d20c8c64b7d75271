package wsframe

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// unmask takes the mask off p, and returns it turned to where the next byte
// will need it.
func unmask(p []byte, mask uint32) uint32 {
	turned := bits.RotateLeft32(mask, -8*(len(p)%4))
	wide := uint64(mask)<<32 | uint64(mask)
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^wide)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(mask >> (8 * (i % 4)))
	}
	return turned
}

// A utf8Check checks text that comes in pieces. It knows of an error with the
// first byte that can be in no valid text.
type utf8Check struct {
	cut  [3]byte // the beginning of a character that is not whole
	cuts uint8
}

// add reports whether the text can still be valid with p behind it.
func (c *utf8Check) add(p []byte) bool {
	for c.cuts > 0 && len(p) > 0 {
		var char [4]byte
		size := copy(char[:], c.cut[:c.cuts])
		char[size] = p[0]
		p = p[1:]
		if !utf8.FullRune(char[:size+1]) {
			c.cut[c.cuts] = char[size]
			c.cuts++
			continue
		}
		if !utf8.Valid(char[:size+1]) {
			return false
		}
		c.cuts = 0
	}
	whole := len(p) - cutEnd(p)
	c.cuts += uint8(copy(c.cut[c.cuts:], p[whole:]))
	return utf8.Valid(p[:whole])
}

// whole reports whether no character is cut.
func (c *utf8Check) whole() bool { return c.cuts == 0 }

// cutEnd returns how many bytes at the end of p are the beginning of a
// character that is not whole.
func cutEnd(p []byte) int {
	for n := 1; n <= min(3, len(p)); n++ {
		if end := p[len(p)-n:]; utf8.RuneStart(end[0]) {
			if utf8.FullRune(end) {
				return 0
			}
			return n
		}
	}
	return 0
}
