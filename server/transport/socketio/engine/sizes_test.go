package engine

import (
	"testing"
	"unsafe"
)

// What an idle session is made of stays small: there may be a hundred thousand. The
// limits are sizes in which memory is given out.
func TestSizes(t *testing.T) {
	for _, part := range []struct {
		name      string
		size, max uintptr
	}{
		{"a session", unsafe.Sizeof(Session{}), 208},
		{"a WebSocket", unsafe.Sizeof(socket{}), 320},
		{"a poll", unsafe.Sizeof(poll{}), 288},
	} {
		t.Logf("%s has %d bytes", part.name, part.size)
		if part.size > part.max {
			t.Errorf("%s has %d bytes, at most %d are allowed", part.name, part.size, part.max)
		}
	}
}
