package concert

import "time"

// What the contract allows; the coordinator reports the same numbers in GetServerInfo.
const (
	messageBytesMax       = 4 << 20
	frameBytesMax         = 2 << 20
	payloadBytesMax       = 1 << 20
	jsonDepthMax          = 28
	jsonIntegerMax        = 1 << 53
	keysPerReadMax        = 1000
	locksPerAcquireMax    = 64
	pageSizeMax           = 1000
	goodbyeReasonBytesMax = 256
	featureLevel          = 1
	featureLevelMin       = 1
)

// What the client adds: how long it tries, how much it keeps.
const (
	callTimeoutDefault      = 60 * time.Second
	retryTimeoutDefault     = 30 * time.Second
	keepalivePing           = 10 * time.Second
	keepaliveTimeout        = 5 * time.Second
	welcomeTimeout          = 10 * time.Second
	closeTimeout            = 5 * time.Second
	commandsPendingMax      = 2048
	commandsPendingBytesMax = 32 << 20
	sessionLeaseDefault     = 15 * time.Second
	sessionLeaseMin         = 2 * time.Second
	sessionLeaseMax         = 5 * time.Minute
	lockLeaseDefault        = 30 * time.Second
	lockWaitDefault         = 30 * time.Second
	lockWaitMargin          = 15 * time.Second
	bookmarkSilenceMax      = 45 * time.Second
	acknowledgePauseMin     = 50 * time.Millisecond
	acknowledgePauseMax     = time.Second
	stateModifyAttemptsMax  = 20
	listEntriesMax          = 100_000
	reconnectJitterMax      = 2 * time.Second
)

// A lease is over for the client after nine tenths of it, counted from when the renewal was sent: the coordinator counts from
// when it received it, so the client always gives up first, even if its clock runs a twentieth slower.
func leaseShare(lease time.Duration) time.Duration { return lease / 10 * 9 }

// How often heartbeats go out, and how long a stream on which they are not answered is trusted.
func heartbeatPause(lease time.Duration) time.Duration { return lease / 5 }
func silenceMax(lease time.Duration) time.Duration     { return lease / 10 * 6 }
