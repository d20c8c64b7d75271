package park

import "github.com/shaveet/shaveet/server/alarm"

// A sleeper is a connection as its lot's clock sees it, so that what a clock
// needs is no part of what a connection offers.
type sleeper Conn

// Alarm is part of [alarm.Sleeper].
func (s *sleeper) Alarm() *alarm.Alarm { return &s.alarm }

// Ring is part of [alarm.Sleeper].
func (s *sleeper) Ring() { (*Conn)(s).kick(due) }
