"""Which replies may train: those whose every word, in the reply and in its prompt, may be used today."""

from dataset_builder.feedback.answers import Answer, Vote
from dataset_builder.feedback.state import Feedback

FORGOTTEN = "forgotten"
NO_CONSENT = "no consent"
NO_GRANT = "from Discord, without its grant"
NO_WORDS = "its words are missing"
QUOTES = "quotes somebody without consent"
BLANK = "an empty message"

HELD = "quarantined"
LEFT_OUT = "on a reply that is left out"
WEIGHTLESS = "without weight"


class Usable:
    """Answers for what has been read so far."""

    def __init__(self, feedback: Feedback) -> None:
        self._feedback = feedback
        self._permissions = feedback.permissions
        self._of_words: dict[Answer, str] = {}
        self._of_replies: dict[Answer, str] = {}

    def why_not(self, answer: Answer) -> str:
        """Why no row may be made of a reply and its prompt; "" where one may."""
        if answer not in self._of_replies:
            self._of_replies[answer] = self._why_not(answer)
        return self._of_replies[answer]

    def _why_not(self, answer: Answer) -> str:
        parts = (answer, *answer.window)
        known = self._of_words
        reasons = {known[part] if part in known else self._why_no_words(part) for part in parts}
        for reason in (FORGOTTEN, NO_GRANT, NO_CONSENT, NO_WORDS, QUOTES):
            if reason in reasons:
                return reason
        if answer.flaw:
            return answer.flaw
        return BLANK if any(not part.user.strip() or not part.text.strip() for part in parts) else ""

    def _why_no_words(self, answer: Answer) -> str:
        """Why what was said and answered in a turn may not stand in a row."""
        why = self._why_nobody_said(answer)
        if not why and any(quoted is None or self._why_nobody_said(quoted) for quoted in answer.quotes):
            why = QUOTES
        self._of_words[answer] = why
        return why

    def _why_nobody_said(self, answer: Answer) -> str:
        """The same, but for what is quoted there."""
        if self.forgets(answer, answer.people, answer.turn.began):
            return FORGOTTEN
        if answer.author and self.forgets(answer, (answer.author,), answer.when):
            return FORGOTTEN
        if answer.platform == "discord" and answer.grant is None:
            return NO_GRANT
        if not answer.consent or not self.allows(answer, answer.people, answer.turn.began):
            return NO_CONSENT
        if answer.author and not self.allows(answer, (answer.author,), answer.when):
            return NO_CONSENT
        return "" if answer.text else NO_WORDS

    def why_no_vote(self, answer: Answer, vote: Vote) -> str:
        """Why a vote on a reply does not count; "" where it does."""
        voter = (vote.person,)
        if self.forgets(answer, voter, vote.when):
            return FORGOTTEN
        if self.why_not(answer):
            return LEFT_OUT
        if self._feedback.quarantines.holds(vote.person, self._feedback.clock.time(vote.when)):
            return HELD
        if not self.allows(answer, voter, vote.when):
            return NO_CONSENT
        return "" if vote.weight > 0 else WEIGHTLESS

    def forgets(self, answer: Answer, people: tuple[str, ...], when: int) -> bool:
        return self._permissions.forgets(answer.turn.place, people, when)

    def allows(self, answer: Answer, people: tuple[str, ...], when: int) -> bool:
        return self._permissions.allows(answer.turn.place, people, when)
