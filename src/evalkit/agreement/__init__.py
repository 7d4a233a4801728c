"""How far graders agree, and what that means for a rate: agreement, correction, bias of a judge."""
