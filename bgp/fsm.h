/* fsm.h - the state machine of one connection, as a table.
 *
 * SHAPE  (state, event) -> action and next state. session_step.c carries the actions out. What RFC
 *        4271 offers as an option and this speaker does not (DelayOpen, unconfigured peers) has no
 *        event.
 * SPEC   RFC 4271 8; 2918; 6608; 9687 */
#pragma once

#include "bgp/types.h"

/* The numbers are those of RFC 4271 8.1 and, for send hold, RFC 9687. */
enum bgp_event {
	BGP_EVENT_START,		/* 1, 3, 6: manual or automatic */
	BGP_EVENT_START_PASSIVE,	/* 4, 5, 7 */
	BGP_EVENT_STOP,			/* 2, 8 */
	BGP_EVENT_CONNECT_RETRY,	/* 9 */
	BGP_EVENT_HOLD,			/* 10 */
	BGP_EVENT_KEEPALIVE_DUE,	/* 11 */
	BGP_EVENT_TCP_UP,		/* 16, 17: dialled, accepted */
	BGP_EVENT_TCP_DOWN,		/* 18 */
	BGP_EVENT_OPEN,			/* 19 */
	BGP_EVENT_HEADER_ERROR,		/* 21 */
	BGP_EVENT_OPEN_ERROR,		/* 22 */
	BGP_EVENT_COLLISION,		/* 23: this connection is the one to go */
	BGP_EVENT_NOTIFICATION_VERSION, /* 24 */
	BGP_EVENT_NOTIFICATION,		/* 25 */
	BGP_EVENT_KEEPALIVE,		/* 26 */
	BGP_EVENT_UPDATE,		/* 27 */
	BGP_EVENT_UPDATE_ERROR,		/* 28 */
	BGP_EVENT_SEND_HOLD,		/* 29 */
	BGP_EVENT_REFRESH,		/* RFC 2918 */
	BGP_EVENT_MAX_,
};

enum bgp_action {
	BGP_DO_PROTOCOL_ERROR, /* Finite State Machine Error with the state's subcode; close. What
				* has no row does this */
	BGP_DO_NOTHING,
	BGP_DO_DIAL,	  /* open a TCP connection, start ConnectRetry */
	BGP_DO_LISTEN,	  /* wait for the peer */
	BGP_DO_REDIAL,	  /* give the attempt up and dial again */
	BGP_DO_WAIT,	  /* TCP failed: dial again after the ConnectRetry time */
	BGP_DO_SEND_OPEN, /* and start the large hold timer */
	BGP_DO_CONFIRM,	  /* the OPEN is good: KEEPALIVE, timers */
	BGP_DO_UP,
	BGP_DO_HEARD,  /* restart the hold timer */
	BGP_DO_UPDATE, /* the same and hand it over */
	BGP_DO_REFRESH,
	BGP_DO_KEEPALIVE, /* send one */
	BGP_DO_NOTIFY,	  /* send the NOTIFICATION that comes with the event; close */
	BGP_DO_CLOSE,	  /* close without a word */
	BGP_ACTION_MAX_,
};

struct bgp_fsm_row {
	enum bgp_action action;
	enum bgp_state next;
};

/* Never NULL. */
const struct bgp_fsm_row *bgp_fsm(enum bgp_state state, enum bgp_event event);
const char *bgp_event_name(enum bgp_event event);
const char *bgp_action_name(enum bgp_action action);
/* FSM Error subcode for a message that does not belong into a state: RFC 6608. */
uint8_t bgp_fsm_subcode(enum bgp_state state);
