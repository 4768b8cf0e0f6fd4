"""Games with known answers, for any learner of continuous actions (``hmarl.arena``)."""
