package alarm

import "time"

// Stand has the clock see that the process stood still for so long. No timer goes
// off for that.
func (k *Clock[T]) Stand(d time.Duration) {
	k.stood.Add(-int64(d))
}
