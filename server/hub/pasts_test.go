package hub_test

import (
	"fmt"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
)

// Who is killed while its reader looks does not hear what is not for it, by a
// room that was deleted meanwhile.
func TestExceptAndKilledWhileReading(t *testing.T) {
	h := newHub(t, hub.Limits{})
	s := connect(t, h, "s1", "/", create(t, h, "alice", "all", "not"))
	e := emission("e", "all")
	e.Except = []string{"not"}
	emit(t, h, e)
	if _, err := h.DeleteChannel(t.Context(), "not"); err != nil {
		t.Fatal(err)
	}
	steps := 0
	h.SetStep(func() {
		if steps++; steps == 2 { // it knows whose channels it reads
			if err := h.KillClient(t.Context(), "alice"); err != nil {
				t.Error(err)
			}
		}
	})
	if got := heard(s); got != "" || steps < 2 {
		t.Errorf("heard %q, in %d steps", got, steps)
	}
}

// What is not remembered any more counts as a room that the client was in, also
// if it is found later than others that one of them has ended.
func TestExceptBeyondWhatIsRemembered(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 17, 40} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			h := newHub(t, hub.Limits{})
			rooms := []string{"gone", "not"}
			for i := range 15 {
				rooms = append(rooms, fmt.Sprint("room", i))
			}
			s := connect(t, h, "s1", "/", create(t, h, "alice", append(rooms, "all")...))
			if _, err := h.DeleteChannel(t.Context(), "gone"); err != nil {
				t.Fatal(err)
			}
			e := emission("e", "all")
			e.Except = []string{"not"}
			emit(t, h, e)
			leave := func(name string) {
				if _, err := h.Unsubscribe(t.Context(), []hub.Pair{{Client: "alice", Channel: name}}); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range rooms[1:] {
				leave(name)
			}
			for i := range n { // with the first she is found to be off gone
				subscribe(t, h, "alice", fmt.Sprint("other", i))
				leave(fmt.Sprint("other", i))
			}
			if got := heard(s); got != "" {
				t.Errorf("heard %q", got)
			}
		})
	}
}
